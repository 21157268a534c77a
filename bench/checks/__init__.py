"""`bench check`: what is wrong with a data set, a network or an experiment."""
