"""The machine around the loop: boards, installation, system files, channel check."""
