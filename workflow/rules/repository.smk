# Where the files of this repository are -> HOME. No rules here.
import io
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from snakemake.sourcecache import LocalSourceFile


def repository():
    """The folder of this repository: not workflow.basedir, which is that of the main workflow where this one is a module of it.

    Of a module that another workflow names by a commit, tag or branch (`github(...)`), Snakemake reads single files out of
    its clone. The stages are a Python package, so the files of the commit are written beside the clones, once.
    """
    rules = workflow.current_basedir
    if isinstance(rules, LocalSourceFile):
        return Path(rules.get_path_or_uri(secret_free=True)).parents[1]
    rules.fetch_if_required()
    clone = rules.hosted_repo.repo
    commit = clone.commit(rules.ref).hexsha
    folder = Path(workflow.sourcecache.cache_path) / "winnow" / commit
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        clone.archive(packed, commit)
        packed.seek(0)
        unpacked = tempfile.mkdtemp(prefix=f"{commit}.", dir=folder.parent)
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(unpacked, filter="data")
        try:
            os.rename(unpacked, folder)
        except OSError:  # another process was faster
            shutil.rmtree(unpacked)
    return folder


HOME = repository()
sys.path.insert(0, str(HOME / "workflow"))
# Whether another workflow has this one as a module, and whether its whole config is that of the module, as in a folder that
# snakedeploy makes: then the files of config/ in the working directory are Winnow's, too.
MODULE = not workflow.modifier.is_main_snakefile()
WHOLE_CONFIG = config is workflow.modifier_stack[0].globals["config"]
