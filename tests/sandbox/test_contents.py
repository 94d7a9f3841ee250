"""What images hold, and how their layers are named."""

from __future__ import annotations

from sandbox.contents import MANAGERS, SCRIPTS, Contents

ALL = dict.fromkeys(MANAGERS, ("x",))


def names(contents: Contents) -> list[str]:
    return [layer.name for layer in contents.layers()]


def images(base: str = "base:1", site: str = "here", **fields: object) -> list[str]:
    contents = Contents(**fields)  # type: ignore[arg-type]
    return [image for _, image in contents.named(site, base)]


def test_layers_stand_in_the_order_of_the_managers() -> None:
    contents = Contents(
        packages=dict(reversed(ALL.items())), setup_script="true", base_image="debian"
    )
    assert names(contents) == ["base image", *MANAGERS, "setup script"]


def test_only_what_is_listed_makes_a_layer() -> None:
    assert names(Contents(packages={"pip": ("six",)})) == ["pip"]
    assert Contents.of({"packages": {"apt": [], "pip": None}}).is_plain
    assert Contents.of({"type": "cloud"}).is_plain


def test_every_layer_has_its_script() -> None:
    contents = Contents(packages=ALL, setup_script="true", base_image="debian")
    for layer in contents.layers():
        assert (SCRIPTS / layer.script).is_file()


def test_the_order_of_a_list_makes_no_other_image() -> None:
    one = Contents.of({"packages": {"pip": ["six", "attrs"]}})
    other = Contents.of({"packages": {"pip": ["attrs", "six"]}})
    assert one.hash() == other.hash()


def test_a_changed_layer_leaves_those_below_it_as_they_are() -> None:
    before = images(packages={"apt": ("jq",), "pip": ("six",)})
    after = images(packages={"apt": ("jq",), "pip": ("six", "attrs")})
    assert before[0] == after[0]
    assert before[1] != after[1]
    changed = images(packages={"apt": ("jq", "tree"), "pip": ("six",)})
    assert not {*before} & {*changed}


def test_whatever_is_in_an_image_is_in_its_name() -> None:
    made = [
        images(packages={"pip": ("six",)}),
        images(packages={"pip": ("six",)}, base="base:2"),
        images(packages={"pip": ("six",)}, site="there"),
        images(packages={"npm": ("six",)}),
        images(packages={"pip": ("six",)}, base_image="debian"),
        images(setup_script="true"),
        images(setup_script="false"),
    ]
    assert len({each[-1] for each in made}) == len(made)


def test_contents_survive_being_stored() -> None:
    contents = Contents(packages=ALL, setup_script="true", base_image="debian")
    assert Contents.of_json(contents.as_json()) == contents
