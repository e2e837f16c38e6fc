"""How LAE is trained, asks for labels and is evaluated: the GPU stage. Reads shards through schemas alone."""
