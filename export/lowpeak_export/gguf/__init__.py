"""A trained LoRA adapter as a GGUF file, which llama.cpp and the apps made of it load beside the base."""
