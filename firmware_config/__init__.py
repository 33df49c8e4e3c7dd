"""Board and array profiles shipped with seld-edge."""
