"""Pictures of a policy: rules, faults and modes, as Mermaid text and as SVG."""
