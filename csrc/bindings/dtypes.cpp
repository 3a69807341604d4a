// The dtypes as Python sees them.
#include "bindings/convert.h"

namespace wengert::bindings {
namespace {

PyObject* dtype_objects[kDTypes];

py::object numpy() { return py::module_::import("numpy"); }

}  // namespace

DType to_dtype(PyObject* object) {
  for (int i = 0; i < kDTypes; ++i) {
    if (object == dtype_objects[i]) return static_cast<DType>(i);
  }
  if (object == reinterpret_cast<PyObject*>(&PyFloat_Type)) return DType::kFloat64;
  if (object == reinterpret_cast<PyObject*>(&PyBool_Type)) return DType::kBool;
  if (object == reinterpret_cast<PyObject*>(&PyLong_Type)) return DType::kInt64;
  std::string name;
  if (PyUnicode_Check(object)) {
    name = py::handle(object).cast<std::string>();
  } else {
    try {
      name = py::str(numpy().attr("dtype")(py::handle(object)).attr("name")).cast<std::string>();
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;
    }
  }
  static const std::pair<const char*, DType> others[] = {{"float", DType::kFloat64},
                                                         {"double", DType::kFloat64},
                                                         {"int", DType::kInt64},
                                                         {"long", DType::kInt64}};
  for (int i = 0; i < kDTypes; ++i) {
    if (name == name_of(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  for (const auto& [other, dtype] : others) {
    if (name == other) return dtype;
  }
  throw TypeError("dtype: " + py::repr(py::handle(object)).cast<std::string>() +
                  " is not supported; expected bool, int32, int64, float32 or float64");
}

PyObject* dtype_object(DType dtype) { return Py_NewRef(dtype_objects[static_cast<int>(dtype)]); }

namespace {

struct DTypeObject {
  DType dtype;
};

bool same_dtype(const DTypeObject& self, const py::object& other) {
  if (py::isinstance<DTypeObject>(other)) return other.cast<DTypeObject>().dtype == self.dtype;
  if (other.is_none()) return false;
  try {
    return to_dtype(other.ptr()) == self.dtype;
  } catch (const TypeError&) {
    return false;
  }
}

}  // namespace

void add_dtypes(py::module_& module) {
  py::class_<DTypeObject>(module, "DType",
                          "The type of a tensor's elements; equal to NumPy's of that name.")
      .def_property_readonly("name", [](const DTypeObject& self) { return name_of(self.dtype); })
      .def_property_readonly("itemsize",
                             [](const DTypeObject& self) { return item_size(self.dtype); })
      .def_property_readonly("is_floating_point",
                             [](const DTypeObject& self) { return is_floating(self.dtype); })
      .def_property_readonly(
          "dtype",
          [](const DTypeObject& self) { return numpy().attr("dtype")(name_of(self.dtype)); })
      .def("__eq__", same_dtype)
      .def("__ne__", [](const DTypeObject& self,
                        const py::object& other) { return !same_dtype(self, other); })
      .def("__hash__",
           [](const DTypeObject& self) { return py::hash(py::str(name_of(self.dtype))); })
      .def("__reduce__", [](const DTypeObject& self) { return std::string(name_of(self.dtype)); })
      .def("__repr__",
           [](const DTypeObject& self) { return std::string("wengert.") + name_of(self.dtype); });
  for (int i = 0; i < kDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    dtype_objects[i] = py::cast(DTypeObject{dtype}).release().ptr();
    module.attr(name_of(dtype)) = py::handle(dtype_objects[i]);
  }
}

}  // namespace wengert::bindings
