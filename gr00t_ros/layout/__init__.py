"""Layouts of Foxglove, RViz, PlotJuggler and rqt for any embodiment file."""
