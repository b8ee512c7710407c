"""assetline's core: no Prefect, no Gradio, no FastAPI. Who may import whom is in docs/decisions.md."""

__version__ = "0.1.0"
