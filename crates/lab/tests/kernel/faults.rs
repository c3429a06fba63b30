//! Each fault of the wire against real kernels.
