"""The spectrum: flux and its noise, masked pixels, lines at z, what is laid over it, and what the answer rests on."""

from gasnet_app.spectrum.view import SpectrumView

__all__ = ["SpectrumView"]
