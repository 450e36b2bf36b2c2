"""What can be asked of pvenetd: each request reads the files, compiles them, and sets one owner's State."""
