"""From one labelled file to a dataset: recognise task and columns, split, write the files and the config."""
