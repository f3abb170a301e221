"""References: which version a path, a name or an id means."""

import pytest

from gymrecipe.errors import InputError
from gymrecipe.experiments import links, references
from tests.experiments.conftest import publish


def test_versions_are_folders_with_a_manifest_in_the_order_of_their_numbers(tmp_path):
    for name in ("v10000", "v0002", "v9999", "v1", "vx", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "v0003").mkdir()
    (tmp_path / "v0004").symlink_to("v0002")
    assert [path.name for path in references.versions(tmp_path)] == ["v0002", "v9999", "v10000"]
    assert references.versions(tmp_path / "nowhere") == []


def test_find_gives_the_newest_version_of_an_id_past_broken_manifests(tmp_path):
    for id in ("a", "b", "a", "c"):
        publish(tmp_path, id)
    (tmp_path / "v0004" / "manifest.json").write_bytes(b'{"id": \xff')
    assert references.find(tmp_path, "a") == tmp_path / "v0003"
    assert references.find(tmp_path, "b") == tmp_path / "v0002"
    assert references.find(tmp_path, "c") is None


def test_find_gives_the_version_that_the_tag_stands_for_if_it_has_the_id(tmp_path):
    for id in ("a", "b", "a"):
        publish(tmp_path, id)
    links.tag(tmp_path, tmp_path / "v0001", "v1.0")
    assert references.find(tmp_path, "a", "v1.0") == tmp_path / "v0001"
    assert references.find(tmp_path, "b", "v1.0") == tmp_path / "v0002"
    assert references.find(tmp_path, "a", "v2.0") == tmp_path / "v0003"


def test_a_version_is_found_by_path_number_tag_or_recipe(tmp_path, monkeypatch):
    (folder := tmp_path / "dpo").mkdir()
    first, second = publish(folder), publish(folder)
    links.tag(folder, first, "v1.0")
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("v0001")
    for reference in ("dpo", "dpo/", "dpo/latest", "dpo/v0002", str(second), str(folder)):
        assert references.resolve(reference, tmp_path) == second, reference
    for reference in ("dpo/v1.0", "dpo/v0001", str(folder / "v1.0")):
        assert references.resolve(reference, tmp_path) == first, reference
    monkeypatch.chdir(first)
    assert references.resolve(".", tmp_path) == first


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("dpo/v0009", r"no such version\. .*dpo has v0001, v0002, v1\.0\. Did you mean 'v0002'\?"),
        ("dpo/v1.1", r"has v0001, v0002, v1\.0\. Did you mean 'v1\.0'\?"),
        ("dop/v0001", r"has versions of dpo\. Did you mean 'dpo'\?"),
        ("other", r"has versions of dpo\."),
        ("v0002", r"Did you mean 'dpo/v0002'\?"),
        ("v1.0", r"Did you mean 'dpo/v1\.0'\?"),
        ("", r"no such version"),
        ("/", r"/: not a version: it has no manifest\.json\. .* has versions of dpo\."),
        ("dpo/v0003", r"v0003: not a version: it has no manifest\.json\. .*dpo has v0001, v0002"),
        ("a\0b", r"no such version"),
        ("x" * 5000, r"no such version"),
    ],
)
def test_an_unknown_reference_names_what_there_is(tmp_path, reference, message):
    (folder := tmp_path / "dpo").mkdir()
    links.tag(folder, publish(folder), "v1.0")
    publish(folder)
    (tmp_path / "other").mkdir()
    (folder / "v0003").mkdir()
    with pytest.raises(InputError, match=message):
        references.resolve(reference, tmp_path)


def test_an_output_folder_without_versions_says_so(tmp_path):
    with pytest.raises(InputError, match="has no versions yet"):
        references.resolve("dpo", tmp_path / "nowhere")


def test_of_a_bare_version_that_several_recipes_have_the_recipe_is_asked_for(tmp_path):
    for name in ("dpo", "sft"):
        (tmp_path / name).mkdir()
        publish(tmp_path / name)
    with pytest.raises(InputError, match=r"Name its recipe too, such as sft/v0001\.$"):
        references.resolve("v0001", tmp_path)


def test_of_many_versions_the_newest_are_named_before_the_number_of_the_others(tmp_path):
    (folder := tmp_path / "dpo").mkdir()
    for _ in range(10):
        publish(folder)
    with pytest.raises(InputError, match=r"has v0003, .*v0010 and 2 others\."):
        references.resolve("dpo/v99", tmp_path)
