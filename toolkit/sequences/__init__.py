"""Tasks on sequences that give more than one answer a row: tags of tokens, forecasts, the next token, and new text."""
