"""Explanations: how much each word of a text contributes to a prediction."""
