"""How git is asked: processes, objects, trees, names; nothing here touches a file of the user."""
