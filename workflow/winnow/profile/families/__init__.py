"""Families of measures of a text, a module each; winnow.profile.kinds lists them without importing them."""
