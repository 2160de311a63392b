"""The study file: what a study is, as a person writes it."""

from nas.study_file.loading import StudyFileError, load_study, parse_override, preset_names, study_from_json
from nas.study_file.model import StudyFile
from nas.study_file.sections import SamplerName, SearchSection
from nas.study_file.teachers import TeacherSection

__all__ = [
    "SamplerName",
    "SearchSection",
    "StudyFile",
    "StudyFileError",
    "TeacherSection",
    "load_study",
    "parse_override",
    "preset_names",
    "study_from_json",
]
