"""Style transfer: pictures, the losses of style and content, and the runs of the experiment."""
