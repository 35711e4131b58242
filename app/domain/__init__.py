"""The rules. No request, no network, no templates; what may import what is in docs/architecture.md."""
