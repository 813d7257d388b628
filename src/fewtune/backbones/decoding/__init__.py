"""How an answer is had from a language model: written token by token, or chosen among given ones."""
