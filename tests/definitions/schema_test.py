"""docs/definition.schema.json against `latchkey check`: both accept and refuse the same files.

    schema_test.py PROGRAM

Below tests/definitions, schema/accept has what both accept, schema/refuse what both refuse, and
schema/checker what only the checker can refuse, with the reason on the first line. The files of
corpus/ and of samples/ are compared as well; schema/only_checker.txt names, with a reason, those of
them that a schema cannot refuse.

A file is read as an editor does: by YAML 1.2's core types, as text, without this product's limits.
"""
import glob
import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml

LEAST_EACH = 60  # an empty folder would pass in silence
CORE_TYPES = [
    (re.compile(r"(?:~|null|Null|NULL|)"), lambda text: None),
    (re.compile(r"(?:true|True|TRUE|false|False|FALSE)"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
]


class NoDocument(Exception):
    """The text is no single YAML document: an editor says so before a schema is asked."""


def plain_value(text):
    for pattern, make in CORE_TYPES:
        if pattern.fullmatch(text):
            return make(text)
    return text


def value_of(node):
    if isinstance(node, yaml.ScalarNode):
        return plain_value(node.value) if not node.style else node.value
    if isinstance(node, yaml.SequenceNode):
        return [value_of(child) for child in node.value]
    mapping = {}
    for key, child in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise NoDocument("a key is no text")
        if key.value in mapping:
            raise NoDocument("a key stands twice")
        mapping[key.value] = value_of(child)
    return mapping


def read(path):
    with open(path, "rb") as file:
        source = file.read()
    if path.endswith(".json") or source.lstrip().startswith(b"{"):
        try:
            return json.loads(source)
        except ValueError:
            pass  # YAML in braces, perhaps
    try:
        node = yaml.compose(source, Loader=yaml.CBaseLoader)
        return None if node is None else value_of(node)
    except (yaml.YAMLError, RecursionError) as error:
        raise NoDocument(str(error)) from error


def same_pattern(validator, pattern, instance, schema):
    """As in ECMAScript, where `$` is the end of the text and not also before its last newline."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


class Comparison:
    def __init__(self, program):
        with open("docs/definition.schema.json", encoding="utf-8") as file:
            self.schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(self.schema)
        kind = jsonschema.validators.extend(
            jsonschema.Draft202012Validator, {"pattern": same_pattern}
        )
        self.validator = kind(self.schema)
        self.program = program
        self.failures = []

    def schema_words(self, path):
        """What is wrong according to an editor; None if it has nothing to say."""
        try:
            error = next(self.validator.iter_errors(read(path)), None)
        except NoDocument as reason:
            return str(reason)
        return error and f"{error.json_path}: {error.message[:200]}"

    def checker_words(self, paths):
        """For each path the first error, None if it has none but of features still to come."""
        if not paths:
            return {}
        run = subprocess.run(
            [self.program, "check", "--json", "--quiet", *paths],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if run.returncode not in (0, 1):
            sys.exit(f"{self.program} check ended with {run.returncode}")
        words = {}
        for answer in json.loads(run.stdout):
            words[answer["file"]] = next(
                (
                    f"{problem['line']}:{problem['column']}: {problem['message']}"
                    for problem in answer["problems"]
                    if problem["severity"] == "error"
                    and "not there yet" not in problem["message"]
                ),
                None,
            )
        return words

    def fail(self, path, words):
        self.failures.append(f"{path}: {words}")

    def compare(self, paths, schema_accepts, checker_accepts):
        """Each as told; with None for the schema, as the checker does."""
        for path, checker in self.checker_words(paths).items():
            schema = self.schema_words(path)
            if checker_accepts is not None and (checker is None) != checker_accepts:
                self.fail(path, f"the checker says {checker or 'nothing'}")
            expected = schema_accepts if schema_accepts is not None else checker is None
            if (schema is None) != expected:
                self.fail(path, f"the schema says {schema or 'nothing'}, the checker {checker}")


def files(folder):
    return sorted(glob.glob(f"tests/definitions/schema/{folder}/*"))


def compare_folders(comparison):
    for folder, schema_accepts, checker_accepts in (
        ("accept", True, True),
        ("refuse", False, False),
        ("checker", True, False),
    ):
        paths = files(folder)
        if folder != "checker" and len(paths) < LEAST_EACH:
            comparison.fail(folder, f"has {len(paths)} files")
        comparison.compare(paths, schema_accepts, checker_accepts)
    for path in files("checker"):
        with open(path, encoding="utf-8") as file:
            if not file.readline().startswith("# "):
                comparison.fail(path, "does not begin with the reason")


def only_checker():
    names = {}
    with open("tests/definitions/schema/only_checker.txt", encoding="utf-8") as file:
        for line in file:
            name, _, reason = line.strip().partition(": ")
            if name and not name.startswith("#"):
                names[name] = reason
    return names


def compare_corpus(comparison):
    listed = only_checker()
    corpus = sorted(glob.glob("tests/definitions/corpus/*.yaml"))
    samples = sorted(glob.glob("samples/**/*.yaml", recursive=True))
    others = [path for path in corpus if os.path.basename(path)[:-5] not in listed]
    of_checker = [path for path in corpus if os.path.basename(path)[:-5] in listed]
    if len(of_checker) != len(listed) or not samples or not all(listed.values()):
        comparison.fail("only_checker.txt", "names a file that is not there, or gives no reason")
    comparison.compare(others, None, None)
    comparison.compare(of_checker, True, False)
    comparison.compare(samples, True, True)


def properties(schema):
    """The keys of a definition that the schema knows."""
    found = set()
    for part in (schema, *schema["$defs"].values()):
        found.update(part.get("properties", {}))
    return found


def check_keys(comparison):
    """Each key is used in an accepted file, has a title and words, and stands in the reference."""
    used = "\n".join(open(path, encoding="utf-8").read() for path in files("accept"))
    with open("docs/definitions.md", encoding="utf-8") as file:
        reference = file.read()
    for key in sorted(properties(comparison.schema)):
        if not re.search(rf"\b{key}\b\"?:", used):
            comparison.fail(key, "is used in no accepted file")
        if f"`{key}`" not in reference:
            comparison.fail(key, "is not in docs/definitions.md")
    for part in (comparison.schema, *comparison.schema["$defs"].values()):
        for key, value in part.get("properties", {}).items():
            if not value.get("title") or not value.get("description"):
                comparison.fail(key, "has no title or no description for an editor")


def main():
    comparison = Comparison(sys.argv[1])
    compare_folders(comparison)
    compare_corpus(comparison)
    check_keys(comparison)
    for failure in comparison.failures:
        print(failure)
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
