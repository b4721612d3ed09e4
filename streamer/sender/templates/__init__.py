"""Templates in Liquid: a folder of them, chosen by language, rendered within limits, by filters that know the reader's language."""
