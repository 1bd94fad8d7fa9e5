"""Read a project as PyCharm does, from rules of its own: nothing here is shared with what makes projects."""
