"""One observation's way from camera to controller: times, percentiles, and the file of a trace."""
