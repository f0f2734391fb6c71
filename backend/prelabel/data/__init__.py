"""What travels: photos, masks, regions, labelled datasets."""
