"""The files of a run: the journal while it goes on, the JSON document after it, with its sentences in words."""
