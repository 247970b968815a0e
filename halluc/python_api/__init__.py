"""What a Python program or a notebook calls: `import halluc`. `halluc/__init__.py` names it all."""
