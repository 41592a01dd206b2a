// Runs scripts that were saved by Python: for each folder, layer.ts on 0.in, 1.in, ...
// Inputs and outputs are raw float32; shapes.txt has a line for each input.
#include <torch/script.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  torch::NoGradGuard no_grad;
  for (int i = 1; i < argc; ++i) {
    const std::string folder = argv[i];
    auto layer = torch::jit::load(folder + "/layer.ts");
    std::ifstream shapes(folder + "/shapes.txt");
    std::string line;
    for (int number = 0; std::getline(shapes, line); ++number) {
      std::istringstream words(line);
      std::vector<int64_t> shape;
      for (int64_t size; words >> size;) shape.push_back(size);
      auto x = torch::empty(shape);
      const std::string stem = folder + "/" + std::to_string(number);
      std::ifstream(stem + ".in", std::ios::binary)
          .read(static_cast<char*>(x.data_ptr()), x.nbytes());
      auto y = layer.forward({x}).toTensor().contiguous();
      std::ofstream(stem + ".out", std::ios::binary)
          .write(static_cast<const char*>(y.data_ptr()), y.nbytes());
    }
  }
}
