"""The machine around the loop: boards, installation, files of the system, check of the channels."""
