"""The PlotJuggler layout: joints, stream ages and their limits, latencies and counts as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gr00t_ros.layout.view import JOINTS, STAGES, STATUS, View

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
_STREAMER = "ROS2 Topic Subscriber"
_Plots = Mapping[str, Sequence[str]]


def text(view: View) -> str:
    """The content of plotjuggler.xml."""
    joints, status = view.topic(JOINTS), view.topic(STATUS)
    root = Element("root")
    tabs = SubElement(root, "tabbed_widget", {"name": "Main Window", "parent": "main_window"})
    comparison = {
        joint: [f"{joints}/{kind}[{n}]" for kind in ("predicted", "commanded", "measured")]
        for n, joint in enumerate(view.joints)
    }
    for first in range(0, len(view.joints), 8):
        part = list(comparison)[first : first + 8]
        name = "Joints" if first == 0 else f"Joints {first + 1}"
        _tab(tabs, name, {joint: comparison[joint] for joint in part})
    ages = {
        name: [f"{status}/streams[{n}]/{field}" for field in ("age_s", "max_age_s")]
        for n, name in enumerate(view.streams)
    }
    _tab(tabs, "Stream ages and limits", ages)
    # Elements of an array have no names in PlotJuggler: /stage of the same element has it.
    latency = {
        f"latencies[{n}]": [f"{status}/latencies[{n}]/{field}" for field in ("p50_s", "p99_s")]
        for n in range(len(STAGES))
    }
    _tab(tabs, "Latency by stage", latency)
    chunks = [f"{status}/chunks_{kind}" for kind in ("accepted", "clamped", "refused", "dropped")]
    _tab(tabs, "Counts", {"chunks": chunks, "queries": [f"{status}/queries"]})
    SubElement(tabs, "currentTabIndex", index="0")
    plugins = SubElement(root, "Plugins")
    streamer = SubElement(plugins, "plugin", ID=_STREAMER)
    SubElement(streamer, "use_header_stamp", value="false")
    SubElement(streamer, "max_array_size", value="500")
    SubElement(streamer, "selected_topics", value=f"{status};{joints}")
    SubElement(root, "previouslyLoaded_Datafiles")
    SubElement(root, "previouslyLoaded_Streamer", name=_STREAMER)
    SubElement(root, "customMathEquations")
    SubElement(root, "snippets")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _tab(tabs: Element, name: str, plots: _Plots) -> None:
    """A tab with its plots below each other."""
    tab = SubElement(tabs, "Tab", tab_name=name, containers="1")
    container = SubElement(tab, "Container")
    count = max(len(plots), 1)
    sizes = ";".join([f"{1 / count:.6f}"] * count)
    splitter = SubElement(
        container, "DockSplitter", orientation="-", count=str(len(plots)), sizes=sizes
    )
    for title, curves in plots.items():
        area = SubElement(splitter, "DockArea", name=title)
        plot = SubElement(area, "plot", mode="TimeSeries", style="Lines", flip_x="false")
        plot.set("flip_y", "false")
        SubElement(plot, "limitY")
        for colour, curve in zip(_COLOURS, curves, strict=False):
            SubElement(plot, "curve", name=curve, color=colour)
