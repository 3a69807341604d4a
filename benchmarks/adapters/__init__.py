"""One module a peer, each with an ``ADAPTER`` that speaks the vocabulary of ``base.Adapter``."""
