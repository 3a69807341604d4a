// Lines of user code, for anomaly detection.
#include "engine/anomaly.h"

#include "bindings/python_node.h"
#include "engine/backward.h"

namespace wengert::bindings {
namespace {

// Where the package lives; its examples count as user code.
bool is_own_code(const std::string& file) {
  static const auto* directory = new std::string([] {
    const py::object path = py::module_::import("os.path");
    return path.attr("dirname")(py::module_::import("wengert._core").attr("__file__"))
        .cast<std::string>();
  }());
  return file.starts_with(*directory) && !file.starts_with(*directory + "/examples");
}

std::string text_at(const py::object& file, int line) {
  const py::object cached = py::module_::import("linecache").attr("getline")(file, line);
  return cached.attr("strip")().cast<std::string>();
}

// "file:line: text" of the innermost frame outside the package; empty if there is none.
std::string user_line() {
  const py::error_scope pending;
  auto frame = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  while (frame) {
    auto* raw = reinterpret_cast<PyFrameObject*>(frame.ptr());
    const auto code =
        py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetCode(raw)));
    const py::object file = code.attr("co_filename");
    const auto name = file.cast<std::string>();
    if (!is_own_code(name)) {
      const int line = PyFrame_GetLineNumber(raw);
      return name + ":" + std::to_string(line) + ": " + text_at(file, line);
    }
    frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(raw)));
  }
  return {};
}

// Exceptions of Python get a note, those of the engine a longer text.
void annotate(const std::string& text) {
  try {
    throw;
  } catch (py::error_already_set& error) {
    if (py::hasattr(error.value(), "add_note"))
      error.value().attr("add_note")(text);
    else
      py::module_::import("warnings").attr("warn")(text);  // Python 3.10 has no notes
  } catch (const TypeError& error) {
    throw TypeError(std::string(error.what()) + "\n" + text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string(error.what()) + "\n" + text);
  } catch (const py::builtin_exception&) {
  } catch (const std::runtime_error& error) {
    if (typeid(error) == typeid(std::runtime_error))
      throw std::runtime_error(std::string(error.what()) + "\n" + text);
  } catch (...) {
  }
}

}  // namespace

void add_anomaly(py::module_&) {
  set_line_function(user_line);
  set_annotation_function(annotate);
}

}  // namespace wengert::bindings
