"""Files of other tools: forests in, their files out, and, where a file says enough, forests again.

In: entries, one photo's file and forest each, taken one by one, so that thousands of photos stream. Out: a file of all
photos, or a folder with one a photo; each is whole or not there. One module a format; `outlines.py` has masks as
polygons, `partitions.py` a forest cut to a partition, `entries.py` what all share.
"""

from hedgerow.exchange.coco import read_coco_instances, write_coco_instances, write_parts
from hedgerow.exchange.cvat import write_cvat
from hedgerow.exchange.entries import Entry
from hedgerow.exchange.geojson import PIXELS, Affine, read_geojson, read_world_file, world_file_of, write_geojson
from hedgerow.exchange.labelme import read_labelme, write_labelme
from hedgerow.exchange.labelstudio import write_label_studio
from hedgerow.exchange.outlines import Polygon, painted, polygons
from hedgerow.exchange.panoptic import read_panoptic, write_panoptic
from hedgerow.exchange.partitions import Cut, partition
from hedgerow.exchange.svg import svg, write_svg
from hedgerow.exchange.voc import read_voc, write_voc
from hedgerow.exchange.yolo import read_yolo, write_yolo

__all__ = [
    "PIXELS",
    "Affine",
    "Cut",
    "Entry",
    "Polygon",
    "painted",
    "partition",
    "polygons",
    "read_coco_instances",
    "read_geojson",
    "read_labelme",
    "read_panoptic",
    "read_voc",
    "read_world_file",
    "read_yolo",
    "svg",
    "world_file_of",
    "write_coco_instances",
    "write_cvat",
    "write_geojson",
    "write_label_studio",
    "write_labelme",
    "write_panoptic",
    "write_parts",
    "write_svg",
    "write_voc",
    "write_yolo",
]
