"""make_labels.py OUT.txt: the ImageNet-1k class names in index order, one a line.

They are from the WordNet lemmas that timm carries.
"""
import os, sys
import timm.data

info = os.path.join(os.path.dirname(timm.data.__file__), "_info")
lemmas = dict(line.rstrip("\n").split("\t", 1) for line in open(os.path.join(info, "imagenet_synset_to_lemma.txt"), encoding="utf-8"))
synsets = open(os.path.join(info, "imagenet_synsets.txt"), encoding="utf-8").read().split()
assert len(synsets) == 1000
with open(sys.argv[1], "w", encoding="utf-8", newline="\n") as f:
    f.writelines(lemmas[s].strip() + "\n" for s in synsets)
