"""Retraining from the browser: the page Admin."""

from gasnet_app.admin.view import AdminView

__all__ = ["AdminView"]
