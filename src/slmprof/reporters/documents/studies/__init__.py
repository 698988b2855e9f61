"""Reports of studies: dossiers and advice."""
