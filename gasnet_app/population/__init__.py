"""Many objects at once: linked plots, the table of what is chosen, and a way from a point to its spectrum."""

from gasnet_app.population.view import PopulationView

__all__ = ["PopulationView"]
