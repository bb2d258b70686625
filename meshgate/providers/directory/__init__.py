"""The provider of type ``directory``: routes from files and folders, live."""
