"""Large JSON files piece by piece."""

import json

import pytest

from mrcnn_keras.data import json_stream

_CONTENT = {
    "info": {"text": 'a "quoted" } ] , ünïcödé \\', "n": [1, [2, {}]]},
    "number": 12345.678,
    "images": [{"id": number, "name": "ä" * number} for number in range(30)],
    "other": [],
    "annotations": [{"id": 1, "nested": {"a": [1, 2, {"b": "]}"}]}}, {"id": 2, "emoji": "🙂", "s": "\u00e9"}],
}


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
def test_elements_and_their_places_whatever_the_layout(tmp_path, monkeypatch, chunk, style):
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    path = tmp_path / "file.json"
    data = json.dumps(_CONTENT, **style).encode("utf-8")
    for prefix in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(prefix + data)
        found = list(json_stream.iterate_sections(path, {"images", "annotations"}))
        assert [value for key, value, _, _ in found if key == "images"] == _CONTENT["images"]
        assert [value for key, value, _, _ in found if key == "annotations"] == _CONTENT["annotations"]
        whole = path.read_bytes()
        assert all(json.loads(whole[offset : offset + length]) == value for _, value, offset, length in found)


@pytest.mark.parametrize(
    "text", ["", "{", '{"images": [', '{"images": [{}', '{"images": [{}] "a": 1}', '{"images": [1]}']
)
def test_broken_files_are_named_with_the_place(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="broken.json.*at byte"):
        list(json_stream.iterate_sections(path, {"images"}))


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(json_stream, "_CHUNK", 1 << 16)
    path = tmp_path / "large.json"
    with open(path, "w") as file:
        file.write('{"annotations": [' + ", ".join(['{"id": 1, "segmentation": "%s"}' % ("x" * 1000)] * 8000) + "]}")
    tracemalloc.start()
    count = sum(1 for _ in json_stream.iterate_sections(path, {"annotations"}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8000 and peak < path.stat().st_size / 8
