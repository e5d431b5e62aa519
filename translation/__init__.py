"""Text in, text out: languages, sentences, tokens, the CTranslate2 engine, and filters. No Beam, no torch."""
