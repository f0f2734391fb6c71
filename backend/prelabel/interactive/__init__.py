"""Interactive segmentation: the object at a click or in a box, from a fitted model's clusters.

Nothing is trained. Two patches are alike by the mean of two figures: the share of the model's
clusterings in which they share a cluster (evidence accumulation, Fred and Jain, TPAMI 2005) and
the cosine of their centred vectors. Points and boxes give every patch a prior; a random walker with
priors (Grady, CVPR 2005) spreads it over the grid, but not across borders between unlike patches.

- A patch like a positive point belongs to the object, unless it is more like a negative one.
- A patch in a box belongs to it if its clusters lie in the box rather than around it, and if it is
  foreground. The threshold is the highest at which the object still fills the box from side to
  side: a box is drawn around an object, so the object's own box is known.

The constants were chosen on every second photo (the first, third … by name) of three sets of photos
with masks; ``benchmarks/interactive.py`` measures on the others.
Boxes were better than their baseline on all sets. A single click was not where the automatic region
is the object already: one salient object (ecssd), or nuclei with weights trained for saliency.
"""
