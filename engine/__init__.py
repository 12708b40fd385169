"""GaSNet Explorer: what every spectrum of a sky survey is, at what redshift, how sure, and why."""
