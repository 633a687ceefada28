"""What is remembered, on disk: zones, packs, histories, intents, the journal. Nothing here decides, sends or tells."""
