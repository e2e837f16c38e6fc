"""The Locality-Aware AutoEncoder and its losses."""
