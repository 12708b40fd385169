"""The screen of GaSNet Explorer: `panel serve gasnet_app`. It knows the engine by its front door alone."""
