"""Conversations: what a tokenizer's chat template makes of one, and which of its characters the assistant
says."""
