"""Create a project: render the template, check the result, move it into place, create its environment."""
