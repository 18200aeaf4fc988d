"""What every side of a run is given: the frames, and what some of them ought to be labelled as."""
