"""Assignment 2: convolution and its neighbours, from seven loops to LeNet-5. Begin with README.md."""
